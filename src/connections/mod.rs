//! Links to devices: connecting, detecting loss, recovery.
