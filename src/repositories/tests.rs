//! Tests of the handle as a whole.
