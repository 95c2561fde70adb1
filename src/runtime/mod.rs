//! What runs: the reconciler, driver processes and the status table.
