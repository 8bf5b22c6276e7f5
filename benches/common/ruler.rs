//! The axes of plots: where a figure stands on them, and which figures are marked.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use serde::{Deserialize, Serialize};

/// How a figure becomes a place.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// From zero, in even steps.
    Linear,
    /// Each step a multiple of the one before.
    Log,
    /// Parts of a whole, each step a tenth of what was left.
    Quantile,
}

/// A scale from one value to another.
pub struct Ruler {
    scale: Scale,
    from: f64,
    to: f64,
    places: RangedCoordf64,
}

impl Ruler {
    /// One that is long enough for all of `values`.
    pub fn for_all(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        let (from, to) = match scale {
            Scale::Linear => (0.0, high * 1.05),
            Scale::Log => (low * 0.8, high * 1.25),
            Scale::Quantile => (low, high),
        };
        Self { scale, from, to, places: (scale.place(from)..scale.place(to)).into() }
    }
}

impl Ranged for Ruler {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.places.map(&self.scale.place(*value), limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.scale.marks(self.from, self.to)
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Ruler {
    fn format_ext(&self, value: &f64) -> String {
        match self.scale {
            Scale::Quantile => format!("p{}", (value * 100_000.0).round() / 1000.0),
            Scale::Linear | Scale::Log => format!("{}", (value * 1e6).round() / 1e6),
        }
    }
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.log10(),
            Self::Quantile => -(1.0 - value).log10(),
        }
    }

    /// Which values between `from` and `to` have a line of their own.
    fn marks(self, from: f64, to: f64) -> Vec<f64> {
        match self {
            Self::Linear => {
                let rough = (to - from) / 6.0;
                let power = 10_f64.powf(rough.log10().floor());
                let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
                let step = steps.into_iter().find(|step| *step >= rough).unwrap_or(rough);
                let first = (from / step).ceil();
                (0..20).map(|index| (first + f64::from(index)) * step).collect()
            }
            Self::Log => (-6..9)
                .flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)))
                .collect(),
            Self::Quantile => vec![0.5, 0.9, 0.99, 0.999],
        }
        .into_iter()
        .filter(|mark| (from..=to).contains(mark))
        .collect()
    }
}
