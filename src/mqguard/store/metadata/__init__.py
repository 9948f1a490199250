"""Stores of users and policies: implementations of `mqguard.auth.ports.MetadataStore`."""
