// Numbers as the pages write them (the filter `number` in picasso/web/templates.py): ".899", "−.031", "12.4", "2.1e−6".
export function number(value) {
  if (value === null || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return (value < 0 ? "−" : "") + unsigned(size);
}

function unsigned(size) {
  if (size < 0.001 || size >= 100_000) {
    const [mantissa, exponent] = size.toExponential(1).split("e");
    return `${mantissa}e${Number(exponent)}`.replace("-", "−");
  }
  if (size < 1) return size.toFixed(3).replace(/^0/, "");
  return size < 1000 ? String(Number(size.toPrecision(3))) : Math.round(size).toLocaleString("en");
}
