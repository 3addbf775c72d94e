#![no_main]
//! Any bytes as a workbook: diagnostics or a form, and a form stands by the definition's own checks. The first byte chooses:
//! the bytes as they are, or as the cells of a survey sheet in the text layout.

use doorstep_core::form::import::import;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let found = match choice % 4 {
        0 => {
            let mut text = b"survey\n,type,name,label,relevant,calculation,default,parameters,trigger\n".to_vec();
            text.extend_from_slice(bytes);
            import(&text, "form")
        }
        _ => import(bytes, "form"),
    };
    assert!(found.publishable() || !found.problems.is_empty());
    for problem in &found.problems {
        assert!(!problem.message("en").is_empty() && !problem.message("zh").is_empty());
    }
    if let Some(def) = &found.def {
        assert_eq!(def.validate(), Vec::new());
    }
});
