;; The loops that read all bytes of the archive, 16 or 64 at a time. They search for keys of JSON, decode the escapes of strings, skip
;; values, and search for parts of patterns (scanner.ts, patterns.ts, docs/performance.md). `npm run generate` compiles this file to
;; scanner-code.ts.
;;
;; Memory: at 0 a table with the meaning of the letter after a backslash (0: not an escape of one character), at 256 a table with the
;; value of a hexadecimal digit (-1: not a digit), at 512 the tables of patterns. The host writes all tables. It chooses the positions
;; of document and output. After each of them, 128 bytes may be read or overwritten. A document ends with a zero byte, which cannot continue any JSON.
(module
  (memory (export "memory") 1)

  ;; Bytes written by the last call of `unescape`.
  (global $length (export "length") (mut i32) (i32.const 0))

  ;; Returns a mask of 16 bytes: a bit is set for a quote, a backslash or a control character.
  (func $marks (param $at i32) (result i64)
    (local $bytes v128)
    (local.set $bytes (v128.load (local.get $at)))
    (i64.extend_i32_u
      (i8x16.bitmask
        (v128.or
          ;; With bit 1 flipped, only a quote and the control characters are below 0x21.
          (i8x16.lt_u
            (v128.xor (local.get $bytes) (i8x16.splat (i32.const 0x02)))
            (i8x16.splat (i32.const 0x21)))
          (i8x16.eq (local.get $bytes) (i8x16.splat (i32.const 0x5c)))))))

  ;; Returns the value of four hexadecimal digits; negative if one is not a digit.
  (func $unit (param $at i32) (result i32)
    (i32.or
      (i32.or
        (i32.shl (i32.load8_s offset=256 (i32.load8_u (local.get $at))) (i32.const 12))
        (i32.shl (i32.load8_s offset=256 (i32.load8_u offset=1 (local.get $at))) (i32.const 8)))
      (i32.or
        (i32.shl (i32.load8_s offset=256 (i32.load8_u offset=2 (local.get $at))) (i32.const 4))
        (i32.load8_s offset=256 (i32.load8_u offset=3 (local.get $at))))))

  ;; Writes a character as UTF-8 and returns the position of the next one.
  (func $write (param $to i32) (param $point i32) (result i32)
    (if (i32.lt_u (local.get $point) (i32.const 0x80))
      (then
        (i32.store8 (local.get $to) (local.get $point))
        (return (i32.add (local.get $to) (i32.const 1)))))
    (if (i32.lt_u (local.get $point) (i32.const 0x800))
      (then (i32.store8 (local.get $to) (i32.or (i32.const 0xc0) (i32.shr_u (local.get $point) (i32.const 6)))))
      (else
        (if (i32.lt_u (local.get $point) (i32.const 0x10000))
          (then (i32.store8 (local.get $to) (i32.or (i32.const 0xe0) (i32.shr_u (local.get $point) (i32.const 12)))))
          (else
            (i32.store8 (local.get $to) (i32.or (i32.const 0xf0) (i32.shr_u (local.get $point) (i32.const 18))))
            (local.set $to (call $continue (local.get $to) (i32.shr_u (local.get $point) (i32.const 12))))))
        (local.set $to (call $continue (local.get $to) (i32.shr_u (local.get $point) (i32.const 6))))))
    (i32.add (call $continue (local.get $to) (local.get $point)) (i32.const 1)))

  ;; Writes six bits after the byte at `to` and returns their position.
  (func $continue (param $to i32) (param $bits i32) (result i32)
    (i32.store8 offset=1 (local.get $to) (i32.or (i32.const 0x80) (i32.and (local.get $bits) (i32.const 0x3f))))
    (i32.add (local.get $to) (i32.const 1)))

  ;; Writes the string that begins at `from` to `out`, with its escapes decoded. Returns the position of its closing quote, or -1 if it
  ;; is not valid or does not end before `end`.
  ;;
  ;; 64 bytes at a time become a mask. Counting its zeros finds the marks. The bytes between two marks are copied 16 at a time, which may
  ;; exceed their end, because the next write overwrites the excess. So the processor has few branches to predict: escapes are about
  ;; 14 bytes apart, at irregular distances.
  (func (export "unescape") (param $from i32) (param $end i32) (param $out i32) (result i32)
    (local $at i32)     ;; position of the 64 bytes of `mask`
    (local $mask i64)
    (local $plain i32)  ;; start of the bytes that are not yet copied
    (local $to i32)
    (local $mark i32)
    (local $bit i64)
    (local $left i32)
    (local $source i32)
    (local $target i32)
    (local $point i32)
    (local $low i32)
    (local.set $at (local.get $from))
    (local.set $plain (local.get $from))
    (local.set $to (local.get $out))
    (loop $blocks
      (if (i32.ge_u (local.get $at) (local.get $end)) (then (return (i32.const -1))))
      (local.set $mask
        (i64.or
          (i64.or
            (call $marks (local.get $at))
            (i64.shl (call $marks (i32.add (local.get $at) (i32.const 16))) (i64.const 16)))
          (i64.or
            (i64.shl (call $marks (i32.add (local.get $at) (i32.const 32))) (i64.const 32))
            (i64.shl (call $marks (i32.add (local.get $at) (i32.const 48))) (i64.const 48)))))
      ;; An escape of the previous block may extend into this one.
      (if (i32.gt_u (local.get $plain) (local.get $at))
        (then (local.set $mask (call $behind (local.get $mask) (i32.sub (local.get $plain) (local.get $at))))))
      (block $done
        (loop $marked
          (br_if $done (i64.eqz (local.get $mask)))
          (local.set $bit (i64.ctz (local.get $mask)))
          (local.set $mark (i32.add (local.get $at) (i32.wrap_i64 (local.get $bit))))
          ;; Bytes after `end` are not part of the document.
          (if (i32.ge_u (local.get $mark) (local.get $end)) (then (return (i32.const -1))))
          (local.set $left (i32.sub (local.get $mark) (local.get $plain)))
          (local.set $source (local.get $plain))
          (local.set $target (local.get $to))
          (local.set $to (i32.add (local.get $to) (local.get $left)))
          (loop $copy
            (v128.store (local.get $target) (v128.load (local.get $source)))
            (if (i32.gt_u (local.get $left) (i32.const 16))
              (then
                (local.set $left (i32.sub (local.get $left) (i32.const 16)))
                (local.set $source (i32.add (local.get $source) (i32.const 16)))
                (local.set $target (i32.add (local.get $target) (i32.const 16)))
                (br $copy))))
          (if (i32.ne (i32.load8_u (local.get $mark)) (i32.const 0x5c))
            (then
              (if (i32.ne (i32.load8_u (local.get $mark)) (i32.const 0x22)) (then (return (i32.const -1))))
              (global.set $length (i32.sub (local.get $to) (local.get $out)))
              (return (local.get $mark))))
          (local.set $point (i32.load8_u (i32.load8_u offset=1 (local.get $mark))))
          (if (local.get $point)
            (then
              (i32.store8 (local.get $to) (local.get $point))
              (local.set $to (i32.add (local.get $to) (i32.const 1)))
              (local.set $plain (i32.add (local.get $mark) (i32.const 2)))
              ;; Clear this mark and that of the letter.
              (local.set $mask
                (i64.and (local.get $mask) (i64.shl (i64.shl (i64.const -2) (local.get $bit)) (i64.const 1))))
              (br $marked)))
          ;; \uXXXX, or a surrogate pair of two.
          (if (i32.ne (i32.load8_u offset=1 (local.get $mark)) (i32.const 0x75)) (then (return (i32.const -1))))
          (local.set $point (call $unit (i32.add (local.get $mark) (i32.const 2))))
          (local.set $plain (i32.add (local.get $mark) (i32.const 6)))
          (if (i32.eq (i32.and (local.get $point) (i32.const 0xfffffc00)) (i32.const 0xd800))
            (then
              (local.set $low (call $unit (i32.add (local.get $mark) (i32.const 8))))
              (local.set $plain (i32.add (local.get $mark) (i32.const 12)))
              (if (i32.ne (i32.load16_u offset=6 align=1 (local.get $mark)) (i32.const 0x755c))
                (then (return (i32.const -1))))
              (if (i32.ne (i32.and (local.get $low) (i32.const 0xfffffc00)) (i32.const 0xdc00))
                (then (return (i32.const -1))))
              (local.set $point
                (i32.add
                  (i32.const 0x10000)
                  (i32.or
                    (i32.shl (i32.and (local.get $point) (i32.const 0x3ff)) (i32.const 10))
                    (i32.and (local.get $low) (i32.const 0x3ff)))))))
          ;; Not digits, a low surrogate alone, or cut off.
          (if
            (i32.or
              (i32.or
                (i32.lt_s (local.get $point) (i32.const 0))
                (i32.eq (i32.and (local.get $point) (i32.const 0xfffffc00)) (i32.const 0xdc00)))
              (i32.gt_u (local.get $plain) (local.get $end)))
            (then (return (i32.const -1))))
          (local.set $to (call $write (local.get $to) (local.get $point)))
          (local.set $mask (call $behind (local.get $mask) (i32.sub (local.get $plain) (local.get $at))))
          (br $marked)))
      (local.set $at (i32.add (local.get $at) (i32.const 64)))
      (br $blocks))
    (unreachable))

  ;; Clears the first `count` bits of a mask.
  (func $behind (param $mask i64) (param $count i32) (result i64)
    (if (result i64) (i32.ge_u (local.get $count) (i32.const 64))
      (then (i64.const 0))
      (else (i64.and (local.get $mask) (i64.shl (i64.const -1) (i64.extend_i32_u (local.get $count)))))))

  ;; Returns the position of the first quote, at or after `at`, before a possible key that the host searches for, `bo...` or `x_...`.
  ;; Returns -1 if there is none before `end`.
  (func (export "findKey") (param $at i32) (param $end i32) (result i32)
    (local $second v128)
    (local $third v128)
    (local $found i32)
    (loop $next
      (if (i32.ge_u (local.get $at) (local.get $end)) (then (return (i32.const -1))))
      (local.set $second (v128.load offset=1 (local.get $at)))
      (local.set $third (v128.load offset=2 (local.get $at)))
      (local.set $found
        (i8x16.bitmask
          (v128.and
            (i8x16.eq (v128.load (local.get $at)) (i8x16.splat (i32.const 0x22)))
            (v128.or
              (v128.and
                (i8x16.eq (local.get $second) (i8x16.splat (i32.const 0x62)))
                (i8x16.eq (local.get $third) (i8x16.splat (i32.const 0x6f))))
              (v128.and
                (i8x16.eq (local.get $second) (i8x16.splat (i32.const 0x78)))
                (i8x16.eq (local.get $third) (i8x16.splat (i32.const 0x5f))))))))
      (if (i32.eqz (local.get $found))
        (then
          (local.set $at (i32.add (local.get $at) (i32.const 16)))
          (br $next))))
    (local.set $at (i32.add (local.get $at) (i32.ctz (local.get $found))))
    (select (local.get $at) (i32.const -1) (i32.lt_u (local.get $at) (local.get $end))))

  ;; Reports whether the bytes from `begin` to `end` may contain something that JSON.parse accepts and upstream's decoder rejects: the
  ;; escape of a surrogate, or a number with an exponent of three digits or more.
  (func (export "mayBeUnsound") (param $begin i32) (param $end i32) (result i32)
    (local $at i32)
    (local $first v128)
    (local $second v128)
    (local $third v128)
    (local $found i32)
    (local $exponent i32)
    (local $digit i32)
    (local.set $at (local.get $begin))
    (loop $next
      (if (i32.ge_u (local.get $at) (local.get $end)) (then (return (i32.const 0))))
      (local.set $first (v128.load (local.get $at)))
      (local.set $second (v128.load offset=1 (local.get $at)))
      (local.set $third (v128.load offset=2 (local.get $at)))
      ;; A backslash, u, then d or D.
      (local.set $found
        (i8x16.bitmask
          (v128.and
            (v128.and
              (i8x16.eq (local.get $first) (i8x16.splat (i32.const 0x5c)))
              (i8x16.eq (local.get $second) (i8x16.splat (i32.const 0x75))))
            (i8x16.eq (v128.or (local.get $third) (i8x16.splat (i32.const 0x20))) (i8x16.splat (i32.const 0x64))))))
      (if (local.get $found) (then (return (i32.const 1))))
      ;; A digit, then e or E, then a digit or a plus.
      (local.set $found
        (i8x16.bitmask
          (v128.and
            (v128.and
              (call $digits (local.get $first))
              (i8x16.eq (v128.or (local.get $second) (i8x16.splat (i32.const 0x20))) (i8x16.splat (i32.const 0x65))))
            (v128.or
              (call $digits (local.get $third))
              (i8x16.eq (local.get $third) (i8x16.splat (i32.const 0x2b)))))))
      (loop $candidates
        (if (local.get $found)
          (then
            (local.set $exponent (i32.add (i32.add (local.get $at) (i32.ctz (local.get $found))) (i32.const 1)))
            (local.set $found (i32.and (local.get $found) (i32.sub (local.get $found) (i32.const 1))))
            (local.set $digit (i32.add (local.get $exponent) (i32.const 1)))
            (local.set $digit
              (i32.add (local.get $digit) (i32.eq (i32.load8_u (local.get $digit)) (i32.const 0x2b))))
            (if
              (i32.and
                (i32.and
                  (call $isDigit (i32.load8_u (local.get $digit)))
                  (call $isDigit (i32.load8_u offset=1 (local.get $digit))))
                (call $isDigit (i32.load8_u offset=2 (local.get $digit))))
              (then
                (if (call $beginsValue (local.get $begin) (local.get $exponent)) (then (return (i32.const 1))))))
            (br $candidates))))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (br $next))
    (unreachable))

  ;; Reports whether the number with an exponent at `at` may be a complete value. Most matches are inside hashes and base64, where a
  ;; letter precedes the digits.
  (func $beginsValue (param $begin i32) (param $at i32) (result i32)
    (local $byte i32)
    (loop $number
      (if (i32.le_u (local.get $at) (local.get $begin)) (then (return (i32.const 1))))
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (local.set $byte (i32.load8_u (local.get $at)))
      (br_if $number (call $isDigit (local.get $byte)))
      ;; Minus and point.
      (br_if $number (i32.lt_u (i32.sub (local.get $byte) (i32.const 0x2d)) (i32.const 2))))
    ;; Colon, comma, bracket, and blanks, which are at most 0x20.
    (i32.or
      (i32.or
        (i32.eq (local.get $byte) (i32.const 0x3a))
        (i32.eq (local.get $byte) (i32.const 0x2c)))
      (i32.or
        (i32.eq (local.get $byte) (i32.const 0x5b))
        (i32.le_u (local.get $byte) (i32.const 0x20)))))

  (func $digits (param $bytes v128) (result v128)
    (i8x16.lt_u (i8x16.sub (local.get $bytes) (i8x16.splat (i32.const 0x30))) (i8x16.splat (i32.const 10))))

  (func $isDigit (param $byte i32) (result i32)
    (i32.lt_u (i32.sub (local.get $byte) (i32.const 0x30)) (i32.const 10)))

  ;; Returns the end of the JSON value at `at`, or -1 if it is not a value or only the host's decoder can check it: a value nested deeper
  ;; than `depth`, with the escape of a surrogate, or a number with many digits.
  (func $skipValue (export "skipValue") (param $at i32) (param $depth i32) (result i32)
    (local $byte i32)
    (local.set $at (call $blanks (local.get $at)))
    (local.set $byte (i32.load8_u (local.get $at)))
    (if (i32.eq (local.get $byte) (i32.const 0x22)) (then (return (call $skipText (local.get $at)))))
    (if (i32.eq (i32.or (local.get $byte) (i32.const 0x20)) (i32.const 0x7b))
      (then (return (call $skipMembers (local.get $at) (local.get $byte) (local.get $depth)))))
    ;; true, null, false
    (if
      (i32.or
        (i32.eq (i32.load (local.get $at)) (i32.const 0x65757274))
        (i32.eq (i32.load (local.get $at)) (i32.const 0x6c6c756e)))
      (then (return (i32.add (local.get $at) (i32.const 4)))))
    (if (i32.and (i32.eq (i32.load (local.get $at)) (i32.const 0x736c6166)) (i32.eq (i32.load8_u offset=4 (local.get $at)) (i32.const 0x65)))
      (then (return (i32.add (local.get $at) (i32.const 5)))))
    (call $skipNumber (local.get $at)))

  ;; Skips an object or a list that begins with the bracket `open` at `at`.
  (func $skipMembers (param $at i32) (param $open i32) (param $depth i32) (result i32)
    (local $byte i32)
    (local $close i32)
    (local.set $close (i32.add (local.get $open) (i32.const 2)))
    (if (i32.eqz (local.get $depth)) (then (return (i32.const -1))))
    (local.set $at (call $blanks (i32.add (local.get $at) (i32.const 1))))
    (if (i32.eq (i32.load8_u (local.get $at)) (local.get $close))
      (then (return (i32.add (local.get $at) (i32.const 1)))))
    (loop $members
      (if (i32.eq (local.get $open) (i32.const 0x7b))
        (then
          (local.set $at (call $blanks (local.get $at)))
          (if (i32.ne (i32.load8_u (local.get $at)) (i32.const 0x22)) (then (return (i32.const -1))))
          (local.set $at (call $skipText (local.get $at)))
          (if (i32.lt_s (local.get $at) (i32.const 0)) (then (return (i32.const -1))))
          (local.set $at (call $blanks (local.get $at)))
          (if (i32.ne (i32.load8_u (local.get $at)) (i32.const 0x3a)) (then (return (i32.const -1))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))))
      (local.set $at (call $skipValue (local.get $at) (i32.sub (local.get $depth) (i32.const 1))))
      (if (i32.lt_s (local.get $at) (i32.const 0)) (then (return (i32.const -1))))
      (local.set $at (call $blanks (local.get $at)))
      (local.set $byte (i32.load8_u (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $members (i32.eq (local.get $byte) (i32.const 0x2c))))
    (select (local.get $at) (i32.const -1) (i32.eq (local.get $byte) (local.get $close))))

  ;; Skips a string that begins with the quote at `at`.
  (func $skipText (param $at i32) (result i32)
    (local $marks i32)
    (local $byte i32)
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (loop $next
      (local.set $marks (i32.wrap_i64 (call $marks (local.get $at))))
      (if (i32.eqz (local.get $marks))
        (then
          (local.set $at (i32.add (local.get $at) (i32.const 16)))
          (br $next)))
      (local.set $at (i32.add (local.get $at) (i32.ctz (local.get $marks))))
      (local.set $byte (i32.load8_u (local.get $at)))
      (if (i32.eq (local.get $byte) (i32.const 0x22)) (then (return (i32.add (local.get $at) (i32.const 1)))))
      (if (i32.ne (local.get $byte) (i32.const 0x5c)) (then (return (i32.const -1))))
      (if (i32.load8_u (i32.load8_u offset=1 (local.get $at)))
        (then
          (local.set $at (i32.add (local.get $at) (i32.const 2)))
          (br $next)))
      (if (i32.ne (i32.load8_u offset=1 (local.get $at)) (i32.const 0x75)) (then (return (i32.const -1))))
      (local.set $byte (call $unit (i32.add (local.get $at) (i32.const 2))))
      (if
        (i32.or
          (i32.lt_s (local.get $byte) (i32.const 0))
          (i32.eq (i32.and (local.get $byte) (i32.const 0xfffff800)) (i32.const 0xd800)))
        (then (return (i32.const -1))))
      (local.set $at (i32.add (local.get $at) (i32.const 6)))
      (br $next))
    (unreachable))

  ;; Skips a number with up to 100 digits before the point and up to two digits of exponent.
  (func $skipNumber (param $at i32) (result i32)
    (local $end i32)
    (local.set $at (i32.add (local.get $at) (i32.eq (i32.load8_u (local.get $at)) (i32.const 0x2d))))
    (local.set $end
      (if (result i32) (i32.eq (i32.load8_u (local.get $at)) (i32.const 0x30))
        (then (i32.add (local.get $at) (i32.const 1)))
        (else (call $skipDigits (local.get $at)))))
    (if (i32.eq (local.get $end) (local.get $at)) (then (return (i32.const -1))))
    (if (i32.gt_u (i32.sub (local.get $end) (local.get $at)) (i32.const 100)) (then (return (i32.const -1))))
    (local.set $at (local.get $end))
    (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 0x2e))
      (then
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $end (call $skipDigits (local.get $at)))
        (if (i32.eq (local.get $end) (local.get $at)) (then (return (i32.const -1))))
        (local.set $at (local.get $end))))
    (if (i32.eq (i32.or (i32.load8_u (local.get $at)) (i32.const 0x20)) (i32.const 0x65))
      (then
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (if
          (i32.or
            (i32.eq (i32.load8_u (local.get $at)) (i32.const 0x2b))
            (i32.eq (i32.load8_u (local.get $at)) (i32.const 0x2d)))
          (then (local.set $at (i32.add (local.get $at) (i32.const 1)))))
        (local.set $end (call $skipDigits (local.get $at)))
        (if (i32.eq (local.get $end) (local.get $at)) (then (return (i32.const -1))))
        (if (i32.gt_u (i32.sub (local.get $end) (local.get $at)) (i32.const 2)) (then (return (i32.const -1))))))
    (local.get $end))

  (func $skipDigits (param $at i32) (result i32)
    (loop $next
      (if (call $isDigit (i32.load8_u (local.get $at)))
        (then
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next))))
    (local.get $at))

  (func $blanks (param $at i32) (result i32)
    (local $byte i32)
    (loop $next
      (local.set $byte (i32.load8_u (local.get $at)))
      (if
        (i32.or
          (i32.or (i32.eq (local.get $byte) (i32.const 0x20)) (i32.eq (local.get $byte) (i32.const 0x0a)))
          (i32.or (i32.eq (local.get $byte) (i32.const 0x0d)) (i32.eq (local.get $byte) (i32.const 0x09))))
        (then
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next))))
    (local.get $at))

  ;; Records that the last call of `findLiterals` wrote.
  (global $records (export "records") (mut i32) (i32.const 0))

  ;; Searches for places where a literal may be, from `at` to `end`, and writes a record of two numbers to `out` for each: a position, and the
  ;; slot of the gram there. Returns the position to continue at, which is `end` or more when all is read. Reads at most 8 KiB, because the lists
  ;; have room for as many places: `out` for 2,560 records, `lists` for 513 positions and as many pairs of numbers as `out`. Reads up to 128 bytes
  ;; before `at` and after `end`.
  ;;
  ;; Every 16 bytes a gram of 8 bytes is looked up, and every 4 bytes a gram of 4 bytes. First a bit is read, at `longBits` or `bits`, at the
  ;; position of the highest bits of a hash (of 64 bits shifted right by `longShift`, or of 32 bits by `shift`). Few bits are set. The short grams
  ;; have bits of their own, because these are few, so they stay in the first cache of the processor. Then the gram is looked up in a hash table with linear probing
  ;; at `slots`, of 16 bytes for each slot; `mask` is the number of slots minus 1. A slot is the gram, a distance, and the four bytes that must be at that distance
  ;; from the gram. The distance 0x7fffffff stands for no such bytes. A gram may have several slots, one of which has to match.
  ;; At `tags` each slot has a byte, a part of the hash of its gram, or 0 if it is empty. Few of the grams whose bit is set are in the table, and the bytes stay in
  ;; the caches of the processor, unlike the slots.
  ;;
  ;; A processor cannot predict which bits are set. So the first two loops have no branch for it: they write each position to a list, and the
  ;; next one overwrites it if the bit is not set.
  (func (export "findLiterals") (param $at i32) (param $end i32) (param $longBits i32) (param $longShift i32) (param $bits i32) (param $shift i32) (param $slots i32) (param $tags i32) (param $mask i32) (param $out i32) (param $lists i32) (result i32)
    (local $longBy i64)
    (local $longBit i32)
    (local $hashes v128)
    (local $words v128)
    (local $stop i32)
    (local $block i32)  ;; place of the next entry in the list of blocks
    (local $grams i32)  ;; start of the list of grams
    (local $gram i32)   ;; place of its next entry
    (local $each i32)
    (local $from i32)
    (local $last i32)
    (local $bit i32)
    (local.set $longBy (i64.extend_i32_u (local.get $longShift)))
    (global.set $records (i32.const 0))
    (if (i32.ge_u (local.get $at) (local.get $end)) (then (return (local.get $at))))
    (local.set $stop (i32.add (local.get $at) (i32.const 8192)))
    (local.set $stop (select (local.get $stop) (local.get $end) (i32.lt_u (local.get $stop) (local.get $end))))
    ;; Lists the blocks of 16 bytes in which a bit is set.
    (local.set $block (local.get $lists))
    (loop $blocks
      (local.set $longBit
        (i32.wrap_i64
          (i64.shr_u (i64.mul (i64.load (local.get $at)) (i64.const 0x9e3779b97f4a7c15)) (local.get $longBy))))
      ;; The four short grams at once: positions of their bits, and addresses of the words with these bits. A shift uses the lowest five bits.
      (local.set $hashes
        (i32x4.shr_u
          (i32x4.mul (v128.load (local.get $at)) (v128.const i32x4 0x9e3779b1 0x9e3779b1 0x9e3779b1 0x9e3779b1))
          (local.get $shift)))
      (local.set $words
        (i32x4.add
          (i32x4.splat (local.get $bits))
          (i32x4.shl (i32x4.shr_u (local.get $hashes) (i32.const 5)) (i32.const 2))))
      (i32.store (local.get $block) (local.get $at))
      (local.set $block
        (i32.add
          (local.get $block)
          (i32.shl
            (i32.and
              (i32.or
                (i32.shr_u
                  (i32.load (i32.add (local.get $longBits) (i32.shl (i32.shr_u (local.get $longBit) (i32.const 5)) (i32.const 2))))
                  (local.get $longBit))
                (i32.or
                  (i32.or
                    (i32.shr_u
                      (i32.load (i32x4.extract_lane 0 (local.get $words)))
                      (i32x4.extract_lane 0 (local.get $hashes)))
                    (i32.shr_u
                      (i32.load (i32x4.extract_lane 1 (local.get $words)))
                      (i32x4.extract_lane 1 (local.get $hashes))))
                  (i32.or
                    (i32.shr_u
                      (i32.load (i32x4.extract_lane 2 (local.get $words)))
                      (i32x4.extract_lane 2 (local.get $hashes)))
                    (i32.shr_u
                      (i32.load (i32x4.extract_lane 3 (local.get $words)))
                      (i32x4.extract_lane 3 (local.get $hashes))))))
              (i32.const 1))
            (i32.const 2))))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (br_if $blocks (i32.lt_u (local.get $at) (local.get $stop))))
    ;; Lists the grams whose bit is set, each as its position and 1 for a long one.
    (local.set $grams (i32.add (local.get $lists) (i32.const 2056)))
    (local.set $gram (local.get $grams))
    (local.set $each (local.get $lists))
    (block $listed
      (loop $next
        (br_if $listed (i32.ge_u (local.get $each) (local.get $block)))
        (local.set $from (i32.load (local.get $each)))
        (local.set $bit
          (i32.wrap_i64
            (i64.shr_u (i64.mul (i64.load (local.get $from)) (i64.const 0x9e3779b97f4a7c15)) (local.get $longBy))))
        (i32.store (local.get $gram) (local.get $from))
        (i32.store offset=4 (local.get $gram) (i32.const 1))
        (local.set $gram (i32.add (local.get $gram) (i32.and
              (i32.shl
                (i32.shr_u
                  (i32.load (i32.add (local.get $longBits) (i32.shl (i32.shr_u (local.get $bit) (i32.const 5)) (i32.const 2))))
                  (local.get $bit))
                (i32.const 3))
              (i32.const 8))))
        (local.set $last (i32.add (local.get $from) (i32.const 16)))
        (loop $short
          (local.set $bit (i32.shr_u (i32.mul (i32.load (local.get $from)) (i32.const 0x9e3779b1)) (local.get $shift)))
          (i32.store (local.get $gram) (local.get $from))
          (i32.store offset=4 (local.get $gram) (i32.const 0))
          (local.set $gram
            (i32.add
              (local.get $gram)
              (i32.and
                (i32.shl
                  (i32.shr_u
                    (i32.load (i32.add (local.get $bits) (i32.shl (i32.shr_u (local.get $bit) (i32.const 5)) (i32.const 2))))
                    (local.get $bit))
                  (i32.const 3))
                (i32.const 8))))
          (local.set $from (i32.add (local.get $from) (i32.const 4)))
          (br_if $short (i32.ne (local.get $from) (local.get $last))))
        (local.set $each (i32.add (local.get $each) (i32.const 4)))
        (br $next)))
    (local.set $each (local.get $grams))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $each) (local.get $gram)))
        (local.set $out (call $record (local.get $out) (i32.load (local.get $each)) (i32.load offset=4 (local.get $each)) (local.get $slots) (local.get $tags) (local.get $mask)))
        (local.set $each (i32.add (local.get $each) (i32.const 8)))
        (br $next)))
    (local.get $at))

  ;; Writes a record of the first slot that has the gram at a position and the bytes at its distance, if there is one. Returns the place of the next
  ;; record.
  (func $record (param $out i32) (param $at i32) (param $isLong i32) (param $slots i32) (param $tags i32) (param $mask i32) (result i32)
    (local $gram i64)
    (local $hash i64)
    (local $tag i32)
    (local $slot i32)
    (local $place i32)
    (local $distance i32)
    (local $found i32)
    (local.set $gram
      (select (i64.load (local.get $at)) (i64.load32_u (local.get $at)) (local.get $isLong)))
    (local.set $hash (i64.mul (local.get $gram) (i64.const 0x9e3779b97f4a7c15)))
    (local.set $slot (i32.and (i32.wrap_i64 (i64.shr_u (local.get $hash) (i64.const 24))) (local.get $mask)))
    (local.set $tag (i32.or (i32.and (i32.wrap_i64 (i64.shr_u (local.get $hash) (i64.const 48))) (i32.const 0xff)) (i32.const 1)))
    (loop $next
      (local.set $found (i32.load8_u (i32.add (local.get $tags) (local.get $slot))))
      (if (i32.eqz (local.get $found)) (then (return (local.get $out))))
      (local.set $place (i32.add (local.get $slots) (i32.shl (local.get $slot) (i32.const 4))))
      (if
        (if (result i32) (i32.eq (local.get $found) (local.get $tag))
          (then (i64.eq (i64.load (local.get $place)) (local.get $gram)))
          (else (i32.const 0)))
        (then
          (local.set $distance (i32.load offset=8 (local.get $place)))
          (if
            (if (result i32) (i32.eq (local.get $distance) (i32.const 0x7fffffff))
              (then (i32.const 1))
              (else
                (i32.eq (i32.load (i32.add (local.get $at) (local.get $distance))) (i32.load offset=12 (local.get $place)))))
            (then
              (i32.store (local.get $out) (local.get $at))
              (i32.store offset=4 (local.get $out) (local.get $slot))
              (global.set $records (i32.add (global.get $records) (i32.const 1)))
              (return (i32.add (local.get $out) (i32.const 8)))))))
      (local.set $slot (i32.and (i32.add (local.get $slot) (i32.const 1)) (local.get $mask)))
      (br $next))
    (unreachable)))
