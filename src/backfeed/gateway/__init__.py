"""The OCPP server: frames in, events out; orders in, frames out."""
