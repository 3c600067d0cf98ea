"""HTTP: health, OpenAPI, dashboard."""
