//! From figures to places on a picture.

/// The upright axis of a panel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    is_logarithmic: bool,
    /// What stands at its foot and at its head.
    low: f64,
    high: f64,
    /// Where they stand; the foot is below, which is the larger number.
    foot: f64,
    head: f64,
}

impl Axis {
    /// Whole decades around all values that are more than 0.
    pub(super) fn logarithmic(values: impl Iterator<Item = f64>, foot: f64, head: f64) -> Axis {
        let (low, high) = bounds(values.filter(|&value| value > 0.0 && value.is_finite())).unwrap_or((1.0, 10.0));
        let (low, high) = (low.log10().floor(), high.log10().ceil());
        let (low, high) = (10f64.powf(low), 10f64.powf(if high > low { high } else { low + 1.0 }));
        Axis { is_logarithmic: true, low, high, foot, head }
    }

    /// From 0 to a round number that none exceeds.
    pub(super) fn linear(values: impl Iterator<Item = f64>, foot: f64, head: f64) -> Axis {
        let (_, high) = bounds(values.filter(|value| value.is_finite())).unwrap_or((0.0, 1.0));
        let unit = 10f64.powf(high.max(1.0).log10().floor());
        let high = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * unit).into_iter().find(|&round| round >= high);
        Axis { is_logarithmic: false, low: 0.0, high: high.unwrap_or(10.0 * unit), foot, head }
    }

    /// Where a value stands. What the axis does not have stands at its foot.
    pub(super) fn at(&self, value: f64) -> f64 {
        let place = |value: f64| if self.is_logarithmic { value.max(self.low).log10() } else { value };
        let part = (place(value) - place(self.low)) / (place(self.high) - place(self.low));
        self.foot + (self.head - self.foot) * part.clamp(0.0, 1.0)
    }

    /// Values for lines across the panel.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if !self.is_logarithmic {
            return [0.0, 0.5, 1.0].map(|part| part * self.high).to_vec();
        }
        let decades = (self.high / self.low).log10().round() as i32;
        // Five lines at most.
        let stride = (decades + 3) / 4;
        (0..=decades).step_by(stride.max(1) as usize).map(|decade| self.low * 10f64.powi(decade)).collect()
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.map(|value| (value, value)).reduce(|(low, high), (value, _)| (low.min(value), high.max(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_stand_evenly() {
        let axis = Axis::logarithmic([30.0, 0.0, 9_000.0, f64::NAN].into_iter(), 300.0, 0.0);
        assert_eq!([10.0, 100.0, 1_000.0, 10_000.0].map(|value| axis.at(value).round()), [300.0, 200.0, 100.0, 0.0]);
        assert_eq!([0.0, 1e9].map(|value| axis.at(value)), [300.0, 0.0], "at the ends");
        assert_eq!(axis.ticks().len(), 4);
    }

    #[test]
    fn an_axis_has_a_length_whatever_it_is_for() {
        for values in [vec![], vec![0.0], vec![1_000.0, 1_000.0], vec![f64::INFINITY]] {
            for axis in [
                Axis::logarithmic(values.iter().copied(), 100.0, 0.0),
                Axis::linear(values.iter().copied(), 100.0, 0.0),
            ] {
                assert!(axis.high > axis.low, "{values:?}");
                assert!(axis.at(1_000.0).is_finite());
                assert!((2..=5).contains(&axis.ticks().len()), "{axis:?}");
            }
        }
    }

    #[test]
    fn a_linear_axis_ends_round() {
        let high = |value: f64| Axis::linear([value].into_iter(), 1.0, 0.0).high;
        assert_eq!([1.0, 3.0, 999.0, 1_001.0, 5_000_000.0].map(high), [1.0, 5.0, 1_000.0, 2_000.0, 5_000_000.0]);
    }

    #[test]
    fn long_axes_have_few_lines() {
        let axis = Axis::logarithmic([1.0, 1e9].into_iter(), 100.0, 0.0);
        assert_eq!(axis.ticks(), [1.0, 1e3, 1e6, 1e9]);
    }
}
