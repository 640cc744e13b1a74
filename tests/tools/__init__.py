"""Tools that people use with AWS, against the emulator: awscli and Powertools for AWS Lambda."""
