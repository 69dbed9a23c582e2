import jupyter from '@jupyter/eslint-plugin';
import hooks from 'eslint-plugin-react-hooks';
import tseslint from 'typescript-eslint';

/** Forbid importing from the rows above: arrows go from index.ts down to tokens.ts. */
function row(files, ...above) {
  const patterns = above.map(regex => ({ regex, message: 'This row is above.' }));
  return { files, rules: { 'no-restricted-imports': ['error', { patterns }] } };
}

const WIRE =
  '/(api|request|listing|deployment|registry|endpoint|version|versions|live|pipeline|step|executed)$';
const DOORS = '/(plugins|index)(/|$)';

export default tseslint.config(
  { ignores: ['lib/', 'node_modules/', 'src/wire.ts', '**/*.d.ts'] },
  { plugins: { jupyter } },
  ...jupyter.configs.recommended,
  {
    files: ['src/**/*.{ts,tsx}', 'test/**/*.{ts,tsx}'],
    extends: [...tseslint.configs.strictTypeChecked],
    plugins: { 'react-hooks': hooks },
    languageOptions: {
      parserOptions: {
        project: ['./tsconfig.json', './tsconfig.test.json'],
        tsconfigRootDir: import.meta.dirname
      }
    },
    rules: {
      'react-hooks/rules-of-hooks': 'error',
      'no-restricted-properties': [
        'error',
        { property: 'innerHTML' },
        { property: 'outerHTML' },
        { property: 'insertAdjacentHTML' },
        { property: 'dangerouslySetInnerHTML' }
      ],
      'no-restricted-syntax': [
        'error',
        "JSXAttribute[name.name='dangerouslySetInnerHTML']"
      ],
      // The whole bundle is smaller than one request is worth.
      'jupyter/prefer-lazy-imports': 'off',
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-namespace': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true }
      ]
    }
  },
  {
    files: ['test/**'],
    rules: {
      '@typescript-eslint/unbound-method': 'off',
      'jupyter/require-disposable-ownership': 'off',
      'jupyter/require-disposable-transfer': 'off'
    }
  },
  row(['src/tokens.ts'], '^\\./(?!wire$)'),
  row(
    ['src/request.ts'],
    '/(api|listing|deployment|registry|endpoint|version|versions|live|pipeline|step|executed|commands)$',
    '/components/',
    '/widgets/',
    DOORS
  ),
  row(
    ['src/api.ts'],
    '/(listing|deployment|registry|endpoint|version|versions|live|pipeline|step|executed|commands)$',
    '/components/',
    '/widgets/',
    DOORS
  ),
  row(
    [
      'src/{listing,deployment,registry,endpoint,version,versions,live,pipeline,step,run-drive,executed}.ts'
    ],
    '/commands$',
    '/components/',
    '/widgets/',
    DOORS
  ),
  row(['src/components/**'], WIRE, '/commands$', '/widgets/', DOORS),
  row(['src/widgets/**'], WIRE, '/commands$', DOORS),
  row(['src/commands.ts'], WIRE, DOORS),
  row(
    ['src/plugins/**'],
    '/(api|request|listing|deployment|live)$',
    '/components/',
    '/index$'
  )
);
