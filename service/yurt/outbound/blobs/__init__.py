"""Large payloads and bundles as files, named by their sha256."""
