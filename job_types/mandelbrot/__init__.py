"""The job type `mandelbrot`."""
