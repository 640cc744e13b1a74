"""The three commands against the real LocalStack control plane, unmodified and in host mode: `make test-localstack`."""
