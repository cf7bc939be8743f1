"""Models of the client, each read from the server's JSON: jobs, files, logs, webhooks, queues, figures.

Every `from_record` ignores unknown fields, so that a newer server can add some. A record of another form
raises KeyError, TypeError, ValueError or AttributeError; `client.transport.parse` makes one error of these.
"""
