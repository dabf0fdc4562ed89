//! Dropout with the caller's random numbers.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Tensor, TensorData};

/// Draws the factors of a number of values, each dropped with a probability.
type Masks = dyn FnMut(usize, f64) -> Vec<f32> + Send;

/// The factors by which values are multiplied while training: zero for dropped values, and above one for the others, so
/// that the mean stays the same.
///
/// `burn::nn::Dropout` draws from one source for all threads; here each pass has its own source, so the dropped values
/// depend on neither the device nor the number of threads.
#[derive(Clone)]
pub struct Dropout(Arc<Mutex<Masks>>);

impl Dropout {
    /// Takes factors from `masks`, which is called with the number of values and the probability that a value is dropped.
    ///
    /// The order of the calls in a pass is always the same, so a seeded generator gives the same factors.
    pub fn new(masks: impl FnMut(usize, f64) -> Vec<f32> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(masks)))
    }

    fn factors(&self, count: usize, probability: f64) -> Vec<f32> {
        let mut masks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        masks(count, probability)
    }
}

impl fmt::Debug for Dropout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dropout").finish_non_exhaustive()
    }
}

/// Drops each value with a probability, if there is a source of factors.
pub(crate) fn drop_out<const D: usize>(
    x: Tensor<D>,
    probability: f64,
    dropout: Option<&Dropout>,
) -> Tensor<D> {
    let Some(dropout) = dropout.filter(|_| probability > 0.0) else {
        return x;
    };
    let shape = x.dims();
    let factors = dropout.factors(shape.iter().product(), probability);
    let data = TensorData::new(factors, shape);
    let factors = Tensor::from_data(data, (&x.device(), x.dtype()));
    x * factors
}
