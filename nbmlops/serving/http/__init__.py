"""HTTP/1.1 over asyncio: llhttp parses, and a request costs no task and no scope."""
