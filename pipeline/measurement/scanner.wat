;; The loops that see all of the archive's bytes, 16 or 64 at a time: keys of JSON that are looked for, texts without their escapes,
;; values that are passed over (scanner.ts, docs/performance.md). `npm run generate` makes scanner-code.ts of it.
;;
;; Memory: at 0 what the letter behind a backslash stands for (0: no escape of one character), at 256 what a hexadecimal digit
;; is worth (-1: it is none); the host writes both, and puts document and output where it likes, each with 128 bytes behind it that may
;; be read or written over. Behind a document stands a zero byte, which is nothing that JSON could go on with.
(module
  (memory (export "memory") 1)

  ;; Bytes written by the last call of `unescape`.
  (global $length (export "length") (mut i32) (i32.const 0))

  ;; A bit for each of 16 bytes that is a quote, a backslash or a control character.
  (func $marks (param $at i32) (result i64)
    (local $bytes v128)
    (local.set $bytes (v128.load (local.get $at)))
    (i64.extend_i32_u
      (i8x16.bitmask
        (v128.or
          ;; With bit 1 flipped, a quote and the control characters are all that is below 0x21.
          (i8x16.lt_u
            (v128.xor (local.get $bytes) (i8x16.splat (i32.const 0x02)))
            (i8x16.splat (i32.const 0x21)))
          (i8x16.eq (local.get $bytes) (i8x16.splat (i32.const 0x5c)))))))

  ;; Four hexadecimal digits; negative when they are none.
  (func $unit (param $at i32) (result i32)
    (i32.or
      (i32.or
        (i32.shl (i32.load8_s offset=256 (i32.load8_u (local.get $at))) (i32.const 12))
        (i32.shl (i32.load8_s offset=256 (i32.load8_u offset=1 (local.get $at))) (i32.const 8)))
      (i32.or
        (i32.shl (i32.load8_s offset=256 (i32.load8_u offset=2 (local.get $at))) (i32.const 4))
        (i32.load8_s offset=256 (i32.load8_u offset=3 (local.get $at))))))

  ;; Writes a character as UTF-8 and returns where the next goes.
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

  ;; Writes six bits behind the byte at `to` and returns where they are.
  (func $continue (param $to i32) (param $bits i32) (result i32)
    (i32.store8 offset=1 (local.get $to) (i32.or (i32.const 0x80) (i32.and (local.get $bits) (i32.const 0x3f))))
    (i32.add (local.get $to) (i32.const 1)))

  ;; Writes the text that begins at `from` to `out`, without its escapes. Returns where its closing quote is, or -1 when it is no valid
  ;; text or has no end before `end`.
  ;;
  ;; 64 bytes at a time become a mask, and the marks in it are gone through by counting zeros. What stands between two of them is copied 16
  ;; bytes at once, past its end where it is shorter: the next write begins behind it. So a processor has little to guess; escapes
  ;; stand 14 bytes apart, at no regular distance.
  (func (export "unescape") (param $from i32) (param $end i32) (param $out i32) (result i32)
    (local $at i32)     ;; the 64 bytes that `mask` is of
    (local $mask i64)
    (local $plain i32)  ;; where what is not yet copied begins
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
      ;; An escape of the block before may reach into this one.
      (if (i32.gt_u (local.get $plain) (local.get $at))
        (then (local.set $mask (call $behind (local.get $mask) (i32.sub (local.get $plain) (local.get $at))))))
      (block $done
        (loop $marked
          (br_if $done (i64.eqz (local.get $mask)))
          (local.set $bit (i64.ctz (local.get $mask)))
          (local.set $mark (i32.add (local.get $at) (i32.wrap_i64 (local.get $bit))))
          ;; Behind the end are other bytes than the document's.
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
              ;; Without this mark and the letter's.
              (local.set $mask
                (i64.and (local.get $mask) (i64.shl (i64.shl (i64.const -2) (local.get $bit)) (i64.const 1))))
              (br $marked)))
          ;; \uXXXX, or two of them that are a surrogate pair.
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
          ;; No digits, a second half alone, or cut off.
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

  ;; The marks of a mask but the first `count`.
  (func $behind (param $mask i64) (param $count i32) (result i64)
    (if (result i64) (i32.ge_u (local.get $count) (i32.const 64))
      (then (i64.const 0))
      (else (i64.and (local.get $mask) (i64.shl (i64.const -1) (i64.extend_i32_u (local.get $count)))))))

  ;; Where, from `at` on, the first quote stands behind which a key may begin that the host looks for, `bo...` or `x_...`; -1 when none does
  ;; before `end`.
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

  ;; Whether between `begin` and `end` there may be what JSON.parse accepts and upstream's decoder does not: the escape of a surrogate, or a
  ;; number with an exponent of three digits or more.
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

  ;; Whether the number whose exponent begins at `at` may be a value of its own. In the middle of hashes and base64, in which most of
  ;; what looks so stands, it has a letter in front.
  (func $beginsValue (param $begin i32) (param $at i32) (result i32)
    (local $byte i32)
    (loop $number
      (if (i32.le_u (local.get $at) (local.get $begin)) (then (return (i32.const 1))))
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (local.set $byte (i32.load8_u (local.get $at)))
      (br_if $number (call $isDigit (local.get $byte)))
      ;; Minus and point.
      (br_if $number (i32.lt_u (i32.sub (local.get $byte) (i32.const 0x2d)) (i32.const 2))))
    ;; Colon, comma, bracket, and the blanks, which are what is at most 0x20.
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

  ;; The end of the JSON value at `at`, or -1 when it is none, or one that only the host's decoder can judge: nested deeper than `depth`,
  ;; with the escape of a surrogate, or a number of many digits.
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

  ;; An object or a list, by the bracket `open` at `at`.
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

  ;; A text, by its opening quote.
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

  ;; A number of up to 100 digits, with an exponent of up to two.
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
    (local.get $at)))
