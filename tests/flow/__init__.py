"""Tests of service.flow."""
