"""Workflow runtime: logs, provenance records, verification and GPU leases of jobs."""
