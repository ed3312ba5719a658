# Turns the seed's files (as text: $meta, $vendor, $user) into lines to print. The first line is the hostname.

# Control characters, also those that reorder or hide text, as JSON would escape them: a line stays one line.
def visible:
  def hex: [ (. / 4096, . / 256, . / 16, .) | floor % 16 | "0123456789abcdef"[.:. + 1] ] | add;
  def hidden: . < 32 or (127 <= . and . < 160) or (8203 <= . and . <= 8207) or (8232 <= . and . <= 8238)
    or (8294 <= . and . <= 8297) or . == 65279;
  explode
  | map(if . == 9 then "\\t" elif . == 10 then "\\n" elif . == 13 then "\\r"
        elif hidden then "\\u" + hex
        else [.] | implode end)
  | add // "";

# A document of the seed is a JSON object, perhaps below comment lines such as "#cloud-config".
def document($name):
  (split("\n") | until(length == 0 or (.[0] | startswith("#") | not); .[1:]) | join("\n"))
  | if test("^\\s*$") then {}
    else (try fromjson catch null)
      | if type == "object" then . else {"not-understood": $name} end
    end;

# cloud-init allows a string, a list or an object of named keys.
def texts: if type == "object" or type == "array" then .[] else . end | strings;

def cut($length): if length > $length then .[:$length] + "..." else . end;

def user_lines:
  (if endswith("\n") then .[:-1] else . end) | split("\n")
  | (.[:40][] | cut(400) | visible | "user-data | " + .),
    (if length > 40 then "user-data | ..." else empty end);

($meta | document("meta-data")) as $m
| ($vendor | document("vendor-data")) as $v
| ($v + $m) as $seed
| ($seed["local-hostname"] // "" | tostring | visible),
  (($m, $v) | .["not-understood"] // empty | . + " is not a JSON object"),
  ($seed["instance-id"] // empty | "instance-id " + (tostring | visible)),
  ($seed["public-keys"] // empty | texts | "ssh-key " + visible),
  (if $user == "" then empty else $user | user_lines end)
