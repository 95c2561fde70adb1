//! People: doors, where somebody is, and messages.

use crate::{Cx, Result, data, interface};

/// A door.
#[data]
pub struct Door {
    /// The system's id of it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whether it is locked, if the system knows.
    pub locked: Option<bool>,
}

/// Access control: the doors of a building.
#[interface]
pub trait DoorSecurity {
    /// The doors it knows.
    async fn doors(&self, cx: &Cx<Self>) -> Result<Vec<Door>>;

    /// Unlocks a door, for so many seconds, or for as long as the system does.
    #[function(security = "support")]
    async fn unlock_door(&self, cx: &Cx<Self>, door: String, seconds: Option<u32>) -> Result;

    /// Locks a door.
    #[function(security = "support")]
    async fn lock_door(&self, cx: &Cx<Self>, door: String) -> Result;
}

/// Where somebody or something was seen.
#[data]
pub struct Location {
    /// The user's id or address, if it is known.
    pub user: Option<String>,
    /// The device's id, such as its MAC address.
    pub device: Option<String>,
    /// The id of the zone: a building, a floor, a desk.
    pub zone: Option<String>,
    /// Metres from the left of the zone's map.
    pub x: Option<f64>,
    /// Metres from the top of the zone's map.
    pub y: Option<f64>,
    /// How far off it may be, in metres.
    pub accuracy: Option<f64>,
    /// When it was seen, in seconds since 1970.
    pub seen_at: Option<u64>,
}

/// What knows where people are: wireless networks, desk bookings, access control. Restricted to support staff and logic.
#[interface]
pub trait Locatable {
    /// Where a user was seen: by id, name or address.
    #[function(security = "support")]
    async fn locate_user(&self, cx: &Cx<Self>, user: String) -> Result<Vec<Location>>;

    /// Everybody and everything that was seen in a zone.
    #[function(security = "support")]
    async fn located_in(&self, cx: &Cx<Self>, zone: String) -> Result<Vec<Location>>;
}

/// What sends messages to people: mail, text messages, chat.
#[interface]
pub trait Messaging {
    /// Sends a text, with a subject where there is such a thing, to addresses or numbers of the service's kind.
    async fn send_message(
        &self,
        cx: &Cx<Self>,
        to: Vec<String>,
        text: String,
        subject: Option<String>,
    ) -> Result;
}
