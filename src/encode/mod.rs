//! The `encode` stage: a record to bytes.
