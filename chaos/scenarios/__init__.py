"""The scenarios, one module each; `run(options)` injects the fault and returns its checks."""
