//! The Wirehub client as a state machine without I/O
