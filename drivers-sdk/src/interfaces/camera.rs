//! Cameras that move.

use super::OneOrEach;
use crate::{Cx, Result, Status, data, interface};

/// Cameras that are moved by hand, with a joystick or arrows.
#[interface]
pub trait Camera {
    /// Pans and tilts at these speeds until told otherwise: from -100, which is left or down, to 100; 0 stops.
    async fn pan_tilt(&self, cx: &Cx<Self>, pan: f64, tilt: f64, camera: Option<u32>) -> Result;

    /// Zooms at this speed until told otherwise: from -100, which is out, to 100; 0 stops.
    async fn zoom(&self, cx: &Cx<Self>, speed: f64, camera: Option<u32>) -> Result;

    /// Stops every movement.
    async fn stop_camera(&self, cx: &Cx<Self>, camera: Option<u32>) -> Result {
        self.pan_tilt(cx, 0.0, 0.0, camera).await?;
        self.zoom(cx, 0.0, camera).await
    }
}

/// Where a camera looks.
#[data]
#[derive(Copy, Default)]
pub struct Position {
    /// Degrees from the middle; to the right is positive.
    pub pan: f64,
    /// Degrees from the horizon; up is positive.
    pub tilt: f64,
    /// Percent, 0 is wide.
    pub zoom: f64,
}

/// Status of [`CameraPosition`](trait@CameraPosition).
#[derive(Default, Status)]
struct PositionStatus {
    /// Where it looks.
    position: Option<OneOrEach<Position>>,
}

/// Cameras that know where they look.
#[interface(status = PositionStatus)]
pub trait CameraPosition {
    /// Turns to a position: pan and tilt in degrees from the middle, zoom in percent. What is left out stays as it is.
    async fn move_to(
        &self,
        cx: &Cx<Self>,
        pan: Option<f64>,
        tilt: Option<f64>,
        zoom: Option<f64>,
        camera: Option<u32>,
    ) -> Result;

    /// Looks straight ahead, zoomed out.
    async fn home(&self, cx: &Cx<Self>, camera: Option<u32>) -> Result {
        self.move_to(cx, Some(0.0), Some(0.0), Some(0.0), camera).await
    }
}

/// Cameras that keep positions.
#[interface]
pub trait CameraPresets {
    /// Turns to a preset, by its name or number.
    async fn recall_preset(&self, cx: &Cx<Self>, preset: String, camera: Option<u32>) -> Result;

    /// Keeps the position of now as a preset.
    async fn save_preset(&self, cx: &Cx<Self>, preset: String, camera: Option<u32>) -> Result;

    /// Forgets a preset.
    async fn remove_preset(&self, cx: &Cx<Self>, preset: String, camera: Option<u32>) -> Result;
}
