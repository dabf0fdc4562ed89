//! Vector arithmetic: elementary functions and sums that the compiler turns into the widest vector instructions.

use pulp::{Arch, Simd};

/// Runs a loop compiled for the widest vectors of this processor; `work` and all it calls must be `#[inline(always)]`.
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(work)
}

/// Transposes a few rows: writes them as columns side by side; the rows of `out` are `stride` apart.
#[inline(always)]
pub(crate) fn side_by_side<const N: usize>(rows: [&[f32]; N], out: &mut [f32], stride: usize) {
    let rows = rows.map(|row| &row[..rows[0].len()]);
    for (idx, out) in out.chunks_mut(stride).take(rows[0].len()).enumerate() {
        let out = &mut out[..N];
        for (out, row) in out.iter_mut().zip(rows) {
            *out = row[idx];
        }
    }
}

/// `eˣ` within two units of the last place, from `2ⁿ·eʳ` with `|r| ≤ ln 2 / 2` and a polynomial of degree six (Cephes'
/// `expf`). Clamps to the range of normal numbers instead of returning zero, a subnormal or infinity.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    /// Adding this leaves the nearest integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.336, 88.376);
    let shifted = x.mul_add(core::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let mut p = 1.987_569_1e-4_f32;
    p = p.mul_add(r, 1.398_199_9e-3);
    p = p.mul_add(r, 8.333_452e-3);
    p = p.mul_add(r, 4.166_579_6e-2);
    p = p.mul_add(r, 0.166_666_66);
    p = p.mul_add(r, 0.5);
    let mantissa = p.mul_add(r * r, r + 1.0);
    f32::from_bits(mantissa.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// Flushes a gradient below 1e-24 to zero.
///
/// Gradients of tokens with tiny attention weights shrink from layer to layer until they are subnormal, and arithmetic with
/// subnormals is a hundred times slower.
#[inline(always)]
pub(crate) fn flush_tiny(grad: f32) -> f32 {
    const LEAST: f32 = 1e-24;
    if grad.abs() < LEAST { 0.0 } else { grad }
}

/// `1 / (1 + e⁻ˣ)`
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The error function within 5e-7, as a rational function of degree 13 over 8 between -4 and 4 (that of XLA and Eigen).
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let mut p = -2.726_142_3e-10_f32;
    p = p.mul_add(square, 2.770_681_4e-8);
    p = p.mul_add(square, -2.101_024e-6);
    p = p.mul_add(square, -5.692_506_5e-5);
    p = p.mul_add(square, -7.349_906_3e-4);
    p = p.mul_add(square, -2.954_6e-3);
    p = p.mul_add(square, -1.609_603_3e-2);
    let mut q = -1.456_607_2e-5_f32;
    q = q.mul_add(square, -2.133_740_6e-4);
    q = q.mul_add(square, -1.682_827e-3);
    q = q.mul_add(square, -7.373_329_2e-3);
    q = q.mul_add(square, -1.426_473_9e-2);
    x * p / q
}

/// GELU with the error function, of one value.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * core::f32::consts::FRAC_1_SQRT_2))
}

/// Sums `f` over a row, one partial sum per lane.
#[inline(always)]
pub(crate) fn sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for lane in 0..LANES {
            sums[lane] += f(chunk[lane]);
        }
    }
    let rest: f32 = rest.iter().map(|&x| f(x)).sum();
    join_lanes(sums, |a, b| a + b) + rest
}

/// Returns the larger of two numbers.
#[inline(always)]
pub(crate) fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Dot product of two rows.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_whole, a_rest) = a.as_chunks::<LANES>();
    let (b_whole, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_whole.iter().zip(b_whole) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    join_lanes(sums, |a, b| a + b) + rest
}

/// The most f32 lanes that a vector has.
pub(crate) const LANES: usize = 16;

/// Reduces the lanes to one number, joining halves.
#[inline(always)]
pub(crate) fn join_lanes(mut lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = join(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Fills a vector from a shorter slice, and the rest of it with `padding`.
#[inline(always)]
pub(crate) fn padded_chunk(rest: &[f32], padding: f32) -> [f32; LANES] {
    let mut chunk = [padding; LANES];
    chunk[..rest.len()].copy_from_slice(rest);
    chunk
}

/// Loads `VECTORS` vectors from a slice; a shorter slice is filled up with zeros.
#[inline(always)]
pub(crate) fn load<S: Simd, const VECTORS: usize>(simd: S, slice: &[f32]) -> [S::f32s; VECTORS] {
    let (whole, rest) = S::as_simd_f32s(slice);
    if let Some(vectors) = whole.first_chunk() {
        return *vectors;
    }
    let mut vectors = [simd.splat_f32s(0.0); VECTORS];
    vectors[..whole.len()].copy_from_slice(whole);
    vectors[whole.len()] = simd.partial_load_f32s(rest);
    vectors
}

/// Stores vectors into a slice, as far as it reaches.
#[inline(always)]
pub(crate) fn store<S: Simd, const VECTORS: usize>(
    simd: S,
    out: &mut [f32],
    vectors: &[S::f32s; VECTORS],
) {
    let (whole, rest) = S::as_mut_simd_f32s(out);
    if let Some(whole) = whole.first_chunk_mut() {
        *whole = *vectors;
        return;
    }
    whole.copy_from_slice(&vectors[..whole.len()]);
    simd.partial_store_f32s(rest, vectors[whole.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_within_two_units_of_the_last_place() {
        for step in -8700..=8800 {
            let x = step as f32 / 100.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 2.0 * f64::from(f32::EPSILON), "{x}: {error:e}");
        }
        assert!(exp(-1e9) < 1e-37 && exp(1e9) > 1e38 && exp(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn the_error_function_is_that_of_the_tables() {
        for (x, expected) in [
            (0.0, 0.0),
            (0.1, 0.112_462_92),
            (0.5, 0.520_499_9),
            (1.0, 0.842_700_8),
            (2.0, 0.995_322_3),
            (3.5, 0.999_999_3),
            (6.0, 1.0),
        ] {
            assert!((erf(x) - expected).abs() < 5e-7, "{x}: {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert!(erf(f32::NAN).is_nan());
    }

    #[test]
    fn rows_of_any_length_are_summed_whole() {
        for length in [1, 15, 16, 17, 40] {
            let row: Vec<f32> = (0..length).map(|x| x as f32).collect();
            let expected = (length * (length - 1) / 2) as f32;
            assert_eq!(sum(&row, |x| x), expected);
            assert_eq!(dot(&row, &vec![2.0; length]), 2.0 * expected);
        }
    }
}
