"""Job types with models for tests: files in MODEL_FOLDER tell what a model does, and what was done."""
