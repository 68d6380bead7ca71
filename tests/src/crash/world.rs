//! What the people of a run know: what they are to do, and whether the doors are open.

use super::stream::{Door, Places};

/// What everybody is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Chat, come and go.
    Chat,
    /// Say nothing new, stay until all is acknowledged. Whoever comes and goes stays, too.
    Drain,
    /// Those who were away all the time come.
    Late,
    /// Go.
    Over,
}

/// A program that people connect to, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Opening {
    /// How often it was started.
    pub(super) starts: u32,
    /// Whether it is there; where it is not, what breaks breaks.
    pub(super) open: bool,
}

/// All that people know.
#[derive(Debug, Clone, Copy)]
pub(super) struct World {
    /// What they are to do.
    pub(super) stage: Stage,
    /// Where the doors are.
    pub(super) places: Places,
    /// What is behind the door of TCP.
    pub(super) server: Opening,
    /// What is behind the doors of BOSH and WebSocket.
    pub(super) web: Opening,
    /// Whether the network fails by itself.
    pub(super) rough: bool,
}

impl World {
    /// What is behind this door.
    pub(super) fn behind(&self, door: Door) -> Opening {
        if door == Door::Tcp { self.server } else { self.web }
    }
}

impl Opening {
    /// It goes.
    pub(super) fn close(&mut self) {
        self.open = false;
    }

    /// It is there again.
    pub(super) fn reopen(&mut self) {
        (self.starts, self.open) = (self.starts + 1, true);
    }
}
