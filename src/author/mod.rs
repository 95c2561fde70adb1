//! What a driver's author does on a machine of their own, without a daemon: `headend driver …` and `headend emulate`.
//!
//! Packages are the author's, in their work tree, and cargo is theirs too: it runs in their environment, in their target
//! folder, and says what it says on their terminal. [`mod@new`] makes a package, [`sdk`] puts `drivers-sdk` where cargo finds it,
//! [`package`] and [`packages`] find what there is; [`mod@check`] runs their standard suite, [`mod@docs`] describes them, [`mod@emulate`]
//! serves their models of devices, and [`mod@replay`] recordings of them; [`mod@dev`] runs a driver while it is written.

mod cargo;
pub mod check;
pub mod dev;
pub mod docs;
pub mod emulate;
mod error;
pub mod new;
pub mod replay;
mod scratch;
pub mod sdk;

pub use cargo::{Package, package, packages};
pub use check::check;
pub use dev::dev;
pub use emulate::emulate;
pub use error::{Error, Result};
pub use new::{Kind, new};
pub use replay::replay;
