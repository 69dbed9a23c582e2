import './base.css';
import './version.css';
