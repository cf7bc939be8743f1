"""Model servers in comparison: this project, LitServe and BentoML, each with the same models.

Modules: `models` (the model code of all of them), `setups` (the rows of the tables), `servers` (their
processes), `load` (requests and clients), `memory`; `litserve_server` and `bentoml_server` are the peers'
programs, `job_types` are this project's.
"""
