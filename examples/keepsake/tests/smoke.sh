# The suite that runs inside: two copies of a folder can be made and read.
mkdir -p /tmp/letters && echo dear >/tmp/letters/one
first=$(keepsake /tmp/letters)
second=$(keepsake /tmp/letters)
[ "$first" != "$second" ]
tar -tzf "$second" | grep -q letters/one
echo "kept $first and $second"
