// JSON with numbers kept as they are written: DynamoDB holds 38 digits, and JavaScript's own numbers hold 16.

export class ExactNumber {
  constructor(text) {
    this.text = text;
  }
}

// Numbers travel through JSON.parse as strings behind a mark; a string that begins with the mark gets one more.
const MARK = '\uE000';
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;

/** The parsed text, with an ExactNumber for each number. Throws a SyntaxError for what is not JSON. */
export function parse(text) {
  JSON.parse(text);
  const marked = text.replace(TOKEN, (token) => {
    if (token[0] !== '"') {
      // What Python refuses to read is no number in either language.
      if (/[eE][+-]?0*\d{19}|^-?\d{4301,}$/.test(token)) throw new SyntaxError('a number that cannot be read');
      return `"${MARK}n${token}"`;
    }
    return /^"(?:\uE000|\\u[eE]000)/.test(token) ? `"${MARK}s${token.slice(1)}` : token;
  });
  return unmarked(JSON.parse(marked));
}

function unmarked(value) {
  if (typeof value === 'string') {
    if (value[0] !== MARK) return value;
    return value[1] === 'n' ? new ExactNumber(value.slice(2)) : value.slice(2);
  }
  if (Array.isArray(value)) return value.map(unmarked);
  if (value === null || typeof value !== 'object') return value;
  const made = Object.create(null);
  for (const name of Object.keys(value)) made[name[0] === MARK ? name.slice(2) : name] = unmarked(value[name]);
  return made;
}

/** How many digits a number has, and the power of ten of its first one. */
export function sizeOf(number) {
  const [, whole, fraction = '', exponent = '0'] = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(number.text);
  const digits = (whole + fraction).replace(/^0+/, '') || '0';
  return { digits: digits.length, power: digits.length - 1 + Number(exponent) - fraction.length };
}

/** In DynamoDB's own form. */
export function asAttribute(value) {
  if (value === null) return { NULL: true };
  if (typeof value === 'string') return { S: value };
  if (typeof value === 'boolean') return { BOOL: value };
  if (typeof value === 'number') return { N: String(value) };
  if (value instanceof ExactNumber) return { N: value.text };
  if (Array.isArray(value)) return { L: value.map(asAttribute) };
  return { M: Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, asAttribute(inner)])) };
}
