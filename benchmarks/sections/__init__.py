"""The sections of the report, one module each; `run(options)` returns Markdown."""
