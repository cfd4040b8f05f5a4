"""The answers to the exercises, one module a lesson: for teachers and tests. Copies for students leave this folder out."""
