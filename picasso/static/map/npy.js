// Arrays as NumPy writes them (.npy).

const READERS = {
  f4: [4, Float32Array, "getFloat32"],
  f8: [8, Float64Array, "getFloat64"],
  i1: [1, Int8Array, "getInt8"],
  i2: [2, Int16Array, "getInt16"],
  i4: [4, Int32Array, "getInt32"],
  i8: [8, Float64Array, "getBigInt64"],
  u1: [1, Uint8Array, "getUint8"],
  u2: [2, Uint16Array, "getUint16"],
  u4: [4, Uint32Array, "getUint32"],
  u8: [8, Float64Array, "getBigUint64"],
  b1: [1, Uint8Array, "getUint8"],
};
const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1; // this machine
const MAGIC = "\x93NUMPY";
const HEADER = /'descr':\s*'([^']*)',\s*'fortran_order':\s*(True|False),\s*'shape':\s*\(([^)]*)\)/;
// The array of a file's bytes: {shape, data}, data in C order (the last axis first), integers of 64 bits as numbers.
export function parse(buffer) {
  const view = new DataView(buffer);
  const text = (from, to) => String.fromCharCode(...new Uint8Array(buffer, from, to - from));
  if (buffer.byteLength < 10 || text(0, 6) !== MAGIC) throw new Error("This is no .npy file.");
  const [length, begin] = view.getUint8(6) === 1 ? [view.getUint16(8, true), 10] : [view.getUint32(8, true), 12];
  const header = text(begin, begin + length);
  const found = HEADER.exec(header);
  if (!found) throw new Error(`The header of this .npy file cannot be read: ${header.trim()}`);
  const [, type, order, sizes] = found;
  const reader = READERS[type.slice(1)];
  if (!reader || type[0] === ">") {
    throw new Error(
      `This .npy file has values of type ${type}. Those that can be shown are little-endian float32, float64 and integers.`,
    );
  }
  const shape = sizes.split(",").filter((size) => size.trim()).map(Number);
  const count = shape.reduce((product, size) => product * size, 1);
  const data = values(view, begin + length, count, reader);
  return { shape, data: order === "True" && shape.length > 1 ? fromFortran(data, shape) : data };
}

function values(view, offset, count, [bytes, Kind, method]) {
  if (view.byteLength < offset + count * bytes) throw new Error("This .npy file ends before its values do.");
  const aligned = offset % bytes === 0 && Kind.BYTES_PER_ELEMENT === bytes && !method.includes("Big");
  if (aligned && LITTLE_ENDIAN) return new Kind(view.buffer, offset, count);
  return Kind.from({ length: count }, (_, index) => Number(view[method](offset + index * bytes, true)));
}

// In Fortran order the first axis runs fastest.
function fromFortran(data, shape) {
  const steps = shape.map((_, axis) => shape.slice(0, axis).reduce((product, size) => product * size, 1));
  const sorted = new data.constructor(data.length);
  const place = shape.map(() => 0);
  for (let index = 0; index < data.length; index++) {
    sorted[index] = data[place.reduce((sum, position, axis) => sum + position * steps[axis], 0)];
    for (let axis = shape.length - 1; axis >= 0 && ++place[axis] === shape[axis]; axis--) place[axis] = 0;
  }
  return sorted;
}
