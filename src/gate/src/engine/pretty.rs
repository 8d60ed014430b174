//! Indentation, as `json.dumps(indent=2)` has it.

/// Appends compact JSON again with one item a line, indented by two.
pub fn write_pretty(compact: &[u8], out: &mut Vec<u8>) {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    let newline = |depth: usize, out: &mut Vec<u8>| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    for (i, b) in compact.iter().enumerate() {
        if in_string {
            out.push(*b);
            in_string = escaped || *b != b'"';
            escaped = !escaped && *b == b'\\';
            continue;
        }
        match b {
            b'{' | b'[' => {
                out.push(*b);
                if compact.get(i + 1).is_none_or(|next| !matches!(next, b'}' | b']')) {
                    depth += 1;
                    newline(depth, out);
                }
            }
            b'}' | b']' => {
                if !matches!(compact[i.saturating_sub(1)], b'{' | b'[') {
                    depth = depth.saturating_sub(1);
                    newline(depth, out);
                }
                out.push(*b);
            }
            b',' => {
                out.push(*b);
                newline(depth, out);
            }
            b':' => out.extend_from_slice(b": "),
            b => {
                in_string = *b == b'"';
                out.push(*b);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_pythons_indent() {
        let mut out = Vec::new();
        super::write_pretty(br#"{"a":[1,{"b":"x,\"]{:"}],"c":[],"d":{}}"#, &mut out);
        let text =
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x,\\\"]{:\"\n    }\n  ],\n  \"c\": [],\n  \"d\": {}\n}";
        assert_eq!(String::from_utf8_lossy(&out), text);
    }
}
