//! Loss scaling: float16 has no numbers for small gradients, so the loss is multiplied before backward.

/// Where the scale begins, as torch.amp.GradScaler's.
const FIRST: f64 = 65_536.0;
/// Good steps after which it is doubled.
const PATIENCE: u64 = 2000;

/// What the loss is multiplied by, and gradients are divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScale {
    scale: f64,
    good: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: FIRST, good: 0 }
    }
}

impl LossScale {
    /// The factor.
    pub fn factor(&self) -> f64 {
        self.scale
    }

    /// A step is over: halves the scale where its gradients were not finite (that update was not made), doubles it after
    /// many good steps. Says whether a lower scale can still help.
    pub fn update(&mut self, overflowed: bool) -> bool {
        if overflowed {
            self.good = 0;
            self.scale /= 2.0;
            return self.scale >= 1.0;
        }
        self.good += 1;
        if self.good >= PATIENCE {
            self.good = 0;
            self.scale *= 2.0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_on_overflow_and_doubles_after_many_good_steps() {
        let mut scale = LossScale::default();
        assert!(scale.update(true));
        assert_eq!(scale.factor(), FIRST / 2.0);
        for _ in 0..PATIENCE - 1 {
            assert!(scale.update(false));
        }
        assert_eq!(scale.factor(), FIRST / 2.0);
        assert!(scale.update(false));
        assert_eq!(scale.factor(), FIRST);
        // An overflow begins the count anew.
        for _ in 0..PATIENCE - 1 {
            let _ = scale.update(false);
        }
        assert!(scale.update(true) && scale.update(false));
        assert_eq!(scale.factor(), FIRST / 2.0);
        let tries = (0..).take_while(|_| scale.update(true)).count();
        assert_eq!(tries, 15, "down to 1");
    }
}
