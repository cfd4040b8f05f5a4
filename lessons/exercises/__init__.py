"""What the lessons ask, and how an answer is judged: one module a lesson. The answers themselves are not here."""
