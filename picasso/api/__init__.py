"""REST, `/api/v1`: one blueprint. Its OpenAPI document is made from its routes and the models in `schemas`."""
