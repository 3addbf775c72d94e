//! What every storage must do; run on both backends.
