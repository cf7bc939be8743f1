"""One file per section of the report; each has `run(options)`, which returns Markdown."""
