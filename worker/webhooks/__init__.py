"""Delivery of webhooks: signed POSTs with the record of an ended job, to the address of its submission."""
