"""Users and policies as one YAML document: read with places, compared with what is stored, tested, written."""
