//! Settings of glibc's allocator, which reads them only when a process starts.
//!
//! By default it keeps up to eight arenas a core for threads: after a burst of pushes the server held 82 MB of which half was
//! free; with one arena, and large blocks given back at once, about half at the same speed (`doorstep bench sync`, server memory). That can only be given by the
//! environment, so the process starts itself again with it, once, in its own place.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn settle() -> std::io::Result<()> {
    use std::os::unix::process::CommandExt;
    const SET: &str = "DOORSTEP_ALLOCATOR";
    const SETTINGS: &str =
        "glibc.malloc.arena_max=1:glibc.malloc.mmap_threshold=262144:glibc.malloc.trim_threshold=1048576";
    let given = ["GLIBC_TUNABLES", "MALLOC_ARENA_MAX", SET].iter().any(|name| std::env::var_os(name).is_some());
    if given {
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let mut again = std::process::Command::new(program);
    again.args(std::env::args_os().skip(1)).env("GLIBC_TUNABLES", SETTINGS).env(SET, "1");
    // comes back only if it failed; then the program goes on as it is
    Err(again.exec())
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn settle() -> std::io::Result<()> {
    Ok(())
}
