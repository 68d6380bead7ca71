//! The binary stonechat: configuration, command line, wiring.
