//! The 512 channels of a universe, each at a level or on its way to one.

/// Channels of a universe.
pub const SIZE: usize = 512;

pub struct Universe([Channel; SIZE]);

#[derive(Clone, Copy, Default)]
struct Channel {
    now: f32,
    to: f32,
    /// To go.
    steps: u32,
}

impl Default for Universe {
    fn default() -> Self {
        Universe([Channel::default(); SIZE])
    }
}

impl Universe {
    /// Has a channel, counted from 1, go to a level from 0 to 255 in so many steps; at once, if there are none.
    pub fn fade(&mut self, channel: u16, to: f32, steps: u32) {
        if let Some(channel) = usize::from(channel).checked_sub(1).and_then(|at| self.0.get_mut(at)) {
            *channel = Channel { now: if steps == 0 { to } else { channel.now }, to, steps };
        }
    }

    /// One step; whether any channel has further to go.
    pub fn step(&mut self) -> bool {
        for channel in self.0.iter_mut().filter(|channel| channel.steps > 0) {
            channel.now += (channel.to - channel.now) / channel.steps as f32;
            channel.steps -= 1;
        }
        self.0.iter().any(|channel| channel.steps > 0)
    }

    pub fn levels(&self) -> Vec<u8> {
        self.0.iter().map(|channel| channel.now.round() as u8).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fade_takes_even_steps_and_another_goes_on_from_where_it_is() {
        let mut universe = Universe::default();
        universe.fade(1, 200.0, 4);
        universe.fade(2, 10.0, 0);
        let mut seen = Vec::new();
        for _ in 0..3 {
            assert!(universe.step());
            seen.push(universe.levels()[..2].to_vec());
        }
        assert_eq!(seen, [[50, 10], [100, 10], [150, 10]]);
        universe.fade(1, 50.0, 2);
        assert!(universe.step());
        assert_eq!(universe.levels()[0], 100);
        assert!(!universe.step());
        assert_eq!(universe.levels()[0], 50);
    }

    proptest! {
        #[test]
        fn a_fade_arrives_and_never_leaves_its_way(channel in 0u16..600, to in 0u8..=255, from in 0u8..=255, steps in 1u32..60) {
            let mut universe = Universe::default();
            universe.fade(channel, f32::from(from), 0);
            universe.fade(channel, f32::from(to), steps);
            let inside = (1..=512).contains(&channel);
            let level = |universe: &Universe| if inside { universe.levels()[usize::from(channel) - 1] } else { to };
            let mut taken = 0;
            while universe.step() {
                prop_assert!((from.min(to)..=from.max(to)).contains(&level(&universe)) || !inside);
                taken += 1;
            }
            prop_assert_eq!(level(&universe), to);
            prop_assert_eq!(taken, if inside { steps - 1 } else { 0 });
        }
    }
}
