//! Write device drivers for Headend.
