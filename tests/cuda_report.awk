# A table of what ptxas says of each kernel (nvcc -Xptxas -v, through c++filt): for each architecture registers a thread,
# for arrays of its own that did not fit there +bytes, for registers that did not !bytes, written and read. The shared
# memory is what is fixed at compile time, of a block. Exits with 1 if a kernel spills, or if there is none.

# tinyops::cuda::(anonymous namespace)::rows<float, 4>(...) is short for itself: rows<float, 4>.
function short(name) {
  sub(/^void /, "", name)
  gsub(/\(anonymous namespace\)::|tinyops::|cuda::|teeny::/, "", name)
  if (match(name, /\(/) && !match(name, /operator\(/)) {
    # The parameters: the last pair of parentheses, whatever is inside.
    depth = 0
    for (i = length(name); i > 0; --i) {
      c = substr(name, i, 1)
      if (c == ")") ++depth
      if (c == "(" && --depth == 0) { name = substr(name, 1, i - 1); break }
    }
  }
  return name
}

/^ptxas info +: Compiling entry function/ {
  split($0, quoted, "'")
  entry = quoted[2]
  arch = quoted[4]
  name = short(entry)
  if (!(arch in archs)) archs[arch] = ++architectures
  order[archs[arch]] = arch
  if (!(name in kernels)) { kernels[name] = ++count; names[count] = name }
  if (length(name) > width) width = length(name)
  next
}
/Function properties for/ { of_entry = substr($0, index($0, "for ") + 4) == entry; next }
/bytes stack frame/ && of_entry { stack = $1; spilled = $5; next }
/: Used [0-9]+ registers/ {
  match($0, /Used [0-9]+/)
  cell = substr($0, RSTART + 5, RLENGTH - 5)
  if (spilled > 0) { cell = cell " !" spilled; ++spills }
  else if (stack > 0) cell = cell " +" stack
  cells[name, arch] = cell
  if (match($0, /[0-9]+ bytes smem/)) shared[name] = substr($0, RSTART, RLENGTH) + 0
  stack = spilled = of_entry = 0
}
END {
  if (!count) { print "no kernels"; exit 1 }
  if (width > 88) width = 88
  printf "%-" width "s %8s", "kernel", "shared"
  for (a = 1; a <= architectures; ++a) printf " %12s", order[a]
  print ""
  for (k = 1; k <= count; ++k) {
    n = names[k]
    printf "%-" width "s %8d", substr(n, 1, width), shared[n]
    for (a = 1; a <= architectures; ++a) printf " %12s", cells[n, order[a]]
    print ""
  }
  printf "\n%d kernels; %d spill\n", count, spills
  exit spills > 0
}
