"""Side-by-side timings, one command each: ``python -m benchmarks.NAME``. ``README.md`` has the figures."""
