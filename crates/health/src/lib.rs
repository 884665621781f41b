//! Checks of what the bridge depends on, and the monitor that runs them.
